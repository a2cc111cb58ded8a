import type { PredictedOutage, Prediction } from '../rehearsal/prediction.ts';
import { duration, integer, plural } from '../render/text.ts';
import { facts, heading, paragraph, table, warning } from './document.ts';
import type { Block } from './document.ts';
import type { ReportedRehearsal } from './report.ts';
import { when } from './words.ts';

/** What a rehearsal has found out: of all databases, and of each the steps that were measured. */
export function predictionBlocks(prediction: Prediction): Block[] {
  const { databases, atOnce, own, together, deadlineMs, without, leftOut, warnings } = prediction;
  const steps = [...new Set(databases.flatMap((each) => each.steps.map(({ step }) => step)))];
  return [
    heading(2, 'Predicted write outage'),
    paragraph(
      'Measured on the target, which was held still meanwhile and put back; the source was not fenced. Estimated is what raises the fence and opens the target.',
    ),
    ...warnings.map(warning),
    ...facts([
      ['databases', `${integer(databases.length)}, ${atOnce} at a time`],
      ['longest', duration(own.worstMs)],
      ['median', duration(own.medianMs)],
      ['each on its own, until all are through', duration(own.wholeMs)],
      ['all together, for each of them up to', duration(together.worstMs)],
      ['of it for fence, last rows, privileges and opening of all', duration(together.onceMs)],
      [`of it for what each database needs, ${atOnce} at a time`, duration(together.eachMs)],
      ['deadline of an outage', duration(deadlineMs)],
      ['databases of the run without a prediction', without.join(', ')],
    ]),
    ...leftOut.map((text) => paragraph(`Not in it: ${text}.`)),
    ...table(
      [
        'database',
        { right: 'outage' },
        { right: 'estimated of it' },
        ...steps.map((step) => ({ right: step })),
        { right: 'sessions' },
      ],
      databases.map((each) => row(each, steps)),
    ),
  ];
}

function row({ database, milliseconds, estimatedMs, steps, sessions }: PredictedOutage, keys: readonly string[]) {
  const took = new Map(steps.map((one) => [one.step, duration(one.milliseconds)]));
  return [
    database,
    duration(milliseconds),
    duration(estimatedMs),
    ...keys.map((key) => took.get(key) ?? ''),
    integer(sessions),
  ];
}

/** What was predicted, and what came. */
export const rehearsalBlocks = ({ run, finishedAt, databases }: ReportedRehearsal): Block[] => [
  heading(2, 'Prediction and what came'),
  paragraph(`${plural(databases.length, 'database')} of the rehearsal ${run}, ${when(finishedAt)}.`),
  ...table(
    ['database', { right: 'predicted' }, { right: 'write outage' }],
    databases.map(({ database, predictedMs, outageMs }) => [database, duration(predictedMs), duration(outageMs)]),
  ),
];
