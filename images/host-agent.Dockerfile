# docker build -f images/host-agent.Dockerfile -t warmpool.dev/host-agent:0.1.0 .
ARG NODE=docker.io/library/node:24-bookworm-slim
# For the mount helper, which is linked statically.
ARG COMPILER=docker.io/library/gcc:14-bookworm
ARG BASE=gcr.io/distroless/cc-debian12

FROM ${COMPILER} AS mount-helper
COPY host-agent/native /native
RUN CC=gcc /native/build.sh /mount-helper

FROM ${NODE} AS program
WORKDIR /opt/warmpool
COPY package.json package-lock.json ./
COPY protocol/package.json protocol/
COPY wire/package.json wire/
COPY operator/package.json operator/
COPY host-agent/package.json host-agent/
COPY runtime-agent/package.json runtime-agent/
COPY local/package.json local/
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund --workspace=@warmpool/host-agent
COPY protocol protocol
COPY wire wire
COPY host-agent host-agent
# With what it compiles code for the pods' interpreter: the same one.
COPY runtime-agent/bootstrap/nodejs runtime-agent/bootstrap/nodejs

FROM ${BASE}
COPY --from=mount-helper /mount-helper /usr/local/bin/mount-helper
COPY --from=program /usr/local/bin/node /usr/local/bin/node
COPY --from=program /opt/warmpool /opt/warmpool
WORKDIR /opt/warmpool
ENV NODE_ENV=production
# It mounts, for other pods to see: the one program here that is root.
USER 0:0
EXPOSE 8443 8081
ENTRYPOINT ["/usr/local/bin/node", "host-agent/main.ts"]
