# Tokenway gateway and worker in one image. What is in it is pinned: images by digest, packages by the hashes of their files (`make lock`).
FROM python:3.13.14-slim-bookworm@sha256:67a1e1f215ccda113cfc024e8639049257e88f273898f595b61476d128d387e8 AS build
WORKDIR /src
COPY requirements.lock deploy/build.lock ./
RUN python -m venv /opt/tokenway && /opt/tokenway/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && python -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir --require-hashes -r build.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY providers providers
COPY simulator simulator
COPY config config
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . && /opt/tokenway/bin/pip install --no-deps dist/*.whl

FROM python:3.13.14-slim-bookworm@sha256:67a1e1f215ccda113cfc024e8639049257e88f273898f595b61476d128d387e8
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/tokenway tokenway
COPY --from=build /opt/tokenway /opt/tokenway
COPY config /etc/tokenway
ENV PATH=/opt/tokenway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_CONFIG_DIR=/etc/tokenway \
    GATEWAY_DATA_DIR=/var/lib/tokenway
USER tokenway
WORKDIR /var/lib/tokenway
RUN mkdir history
VOLUME /var/lib/tokenway
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
ENTRYPOINT ["tokenway"]
CMD ["serve"]
