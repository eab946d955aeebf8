# docker build -f images/runtime-python.Dockerfile -t warmpool.dev/runtime-python:3.11 .
# Any image with a Python from 3.9 on, found as python3 on its PATH: docs/runtime-images.md
ARG BASE=gcr.io/distroless/python3-debian12:nonroot

FROM ${BASE}
COPY runtime-agent/bootstrap/python /opt/warmpool/python
USER 65532:65532
ENTRYPOINT ["python3", "-u", "-B", "/opt/warmpool/python/main.py"]
