# docker build -f images/runtime-java.Dockerfile -t warmpool.dev/runtime-java:17 .
# The agent is compiled with a JDK, and its class archive made by the very JVM that will map it. Any Java from 17 on, with a shell
# and coreutils beside it: docs/runtime-images.md
ARG JDK=docker.io/library/eclipse-temurin:17-jdk-noble
ARG BASE=docker.io/library/eclipse-temurin:17-jre-noble

FROM ${JDK} AS jdk
RUN jlink --add-modules java.se,jdk.compiler,jdk.jartool,jdk.unsupported --output /compiler

FROM ${BASE}
COPY runtime-agent/bootstrap/java /opt/warmpool/java
# The archive names its jar by time and size, so the time must be the one that the image will have.
ARG SOURCE_DATE_EPOCH
RUN --mount=type=bind,from=jdk,source=/compiler,target=/compiler \
    WARMPOOL_JAVA_TOOLS=/compiler/bin /bin/sh /opt/warmpool/java/launch.sh prepare
USER 65532:65532
ENTRYPOINT ["/bin/sh", "/opt/warmpool/java/launch.sh"]
