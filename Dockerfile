# Tokenway gateway and worker in one image. Dependencies are pinned by requirements.lock.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/tokenway && /opt/tokenway/bin/pip install --no-cache-dir -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY providers providers
COPY simulator simulator
COPY config config
RUN /opt/tokenway/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim-bookworm
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
