import type { Message, Notice } from '../../queue/notices.ts';

/** Longer lists are counted: a chat is no place for two hundred lines. */
const MOST_DATABASES = 5;
const MOST_GROUPS = 8;

/** What programs get: everything, and the text that a person would get. */
export function jsonBody(message: Message, link: string | undefined): object {
  const [first] = message.notices;
  return {
    id: message.id,
    event: first?.event,
    ...(first?.run === undefined ? {} : { run: first.run, workflow: first.workflow }),
    text: textOf(message, link),
    ...(link === undefined ? {} : { link }),
    notices: message.notices.map(({ at, ...notice }) => ({ ...notice, at: new Date(at).toISOString() })),
  };
}

/**
 * What Slack, Mattermost and others take.
 * @see https://docs.slack.dev/messaging/formatting-message-text/#escaping
 */
export const slackBody = (message: Message, link: string | undefined): object => ({
  text: textOf(message, link).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;'),
});

/** What has happened, why, what to do next: once for all databases that share step and cause. */
function textOf({ notices }: Message, link: string | undefined): string {
  const groups = grouped(notices);
  const [first] = notices;
  const run = first?.run === undefined ? '' : ` ${first.run}`;
  const lines = groups.slice(0, MOST_GROUPS).flatMap((group) => linesOf(group, run));
  const more = groups.length - MOST_GROUPS;
  if (more > 0) lines.push(`and ${more} more: pgconvoy status${run}`);
  return [...lines, ...(link === undefined ? [] : [link])].join('\n');
}

function grouped(notices: readonly Notice[]): readonly (readonly Notice[])[] {
  const groups = new Map<string, Notice[]>();
  for (const notice of notices) {
    const { database, step, what, why } = notice;
    const key = database === undefined || step === undefined ? what : `${step}\n${why?.replaceAll(database, '…')}`;
    const group = groups.get(key);
    if (group) group.push(notice);
    else groups.set(key, [notice]);
  }
  return [...groups.values()];
}

function linesOf(group: readonly Notice[], run: string): string[] {
  const [first] = group;
  if (!first) return [];
  const names = group.flatMap(({ database }) => (database === undefined ? [] : `"${database}"`));
  const more = names.length - MOST_DATABASES;
  const shown = `${names.slice(0, MOST_DATABASES).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  const what = group.length === 1 ? first.what : `step ${first.step} has failed in ${group.length} databases: ${shown}`;
  return [`pgconvoy${run}: ${what}`, ...(first.why === undefined ? [] : [`why: ${first.why}`]), `next: ${first.next}`];
}
