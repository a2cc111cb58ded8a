# pgconvoy with the newest client tools: docker build -t pgconvoy .
# Commands: docker run --rm -v ./pgconvoy.yaml:/etc/pgconvoy/pgconvoy.yaml:ro pgconvoy check
FROM node:22-trixie-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY . .
RUN npm run build && npm prune --omit=dev

FROM node:22-trixie-slim
# pg_dump and pg_restore come from PostgreSQL's own packages, whose script names the place: they must not be older than the source's minor release.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates postgresql-common \
 && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
 && apt-get install -y --no-install-recommends postgresql-client-18 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
ENV NODE_ENV=production PGCONVOY_CONFIG=/etc/pgconvoy/pgconvoy.yaml
# Whatever is written is in the queue and in the clusters: the container itself keeps nothing.
USER node
ENTRYPOINT ["node", "/app/dist/src/cli/main.js"]
CMD ["--help"]
