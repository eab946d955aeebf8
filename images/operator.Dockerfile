# docker build -f images/operator.Dockerfile -t warmpool.dev/operator:0.1.0 .
# Node itself, and npm for the first stage only.
ARG NODE=docker.io/library/node:24-bookworm-slim
# What the program runs on: a C++ runtime and nothing else, no shell.
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${NODE} AS program
WORKDIR /opt/warmpool
COPY package.json package-lock.json ./
COPY protocol/package.json protocol/
COPY wire/package.json wire/
COPY operator/package.json operator/
COPY host-agent/package.json host-agent/
COPY runtime-agent/package.json runtime-agent/
COPY local/package.json local/
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund --workspace=@warmpool/operator
COPY protocol protocol
COPY wire wire
COPY operator operator
COPY docs/api docs/api

FROM ${BASE}
COPY --from=program /usr/local/bin/node /usr/local/bin/node
COPY --from=program /opt/warmpool /opt/warmpool
WORKDIR /opt/warmpool
USER 65532:65532
ENV NODE_ENV=production
EXPOSE 8080 8081
ENTRYPOINT ["/usr/local/bin/node", "operator/main.ts"]
