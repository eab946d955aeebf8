# docker build -f images/runtime-nodejs.Dockerfile -t warmpool.dev/runtime-nodejs:24 .
# The interpreter, its agent and what they are linked to. Another base adds tools for user code: docs/runtime-images.md
ARG NODE=docker.io/library/node:24-bookworm-slim
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${NODE} AS interpreter

FROM ${BASE}
COPY --from=interpreter /usr/local/bin/node /usr/local/bin/node
COPY runtime-agent/bootstrap/nodejs /opt/warmpool/nodejs
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/node", "/opt/warmpool/nodejs/main.mjs"]
