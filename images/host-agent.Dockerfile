# docker build -f images/host-agent.Dockerfile -t warmpool.dev/host-agent:0.1.0 .
# Needs mount(8) at run time, so it stays on an image that has it; npm is for the first stage only.
ARG NODE=docker.io/library/node:24-bookworm-slim

FROM ${NODE} AS program
WORKDIR /opt/warmpool
COPY package.json package-lock.json ./
COPY protocol/package.json protocol/
COPY operator/package.json operator/
COPY host-agent/package.json host-agent/
COPY runtime-agent/package.json runtime-agent/
COPY local/package.json local/
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund --workspace=@warmpool/host-agent
COPY protocol protocol
COPY host-agent host-agent

FROM ${NODE}
COPY --from=program /opt/warmpool /opt/warmpool
WORKDIR /opt/warmpool
ENV NODE_ENV=production
# It mounts, for other pods to see: the one program here that is root.
USER 0:0
ENTRYPOINT ["/usr/local/bin/node", "host-agent/main.ts"]
