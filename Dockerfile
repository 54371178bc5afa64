# The gateway as an image: built from a clean clone, run without root and with a read-only root.
#
#   docker build -t wxgate .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges -v wxgate:/var/lib/wxgate \
#     -p 127.0.0.1:8480:8480 -p 127.0.0.1:6667:6667 wxgate
#
# A configuration of your own: -v ./mine.toml:/etc/wxgate/wxgate.toml:ro
#
# Both bases can be replaced (--build-arg), for example by copies in a registry of your own.
ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
# `postgres`, for one, builds in a fifth of the time: what takes it is encryption and the bot face of Matrix.
ARG FEATURES=full
WORKDIR /src
COPY . .
# Half an hour on two cores with everything; see [profile.dist].
RUN cargo build --locked --profile dist --package wxgate --features "${FEATURES}"

FROM ${BASE_IMAGE}
# Stickers, voice and films are converted by these; without them (--build-arg CONVERTERS=) they arrive as files.
ARG CONVERTERS="ffmpeg libheif-examples"
# Certificates of the authorities: the services are reached over TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates ${CONVERTERS} \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 wxgate \
    && useradd --uid 10001 --gid wxgate --no-create-home --no-log-init --home-dir /var/lib/wxgate --shell /usr/sbin/nologin wxgate \
    && install -d -m 0700 -o wxgate -g wxgate /var/lib/wxgate \
    && install -d -m 0755 -o wxgate -g wxgate /registration \
    && install -d /etc/wxgate
COPY --from=build /src/target/dist/wxgate /usr/local/bin/wxgate
COPY deploy/container.toml /etc/wxgate/wxgate.toml
COPY LICENSE /usr/local/share/doc/wxgate/LICENSE

USER 10001:10001
WORKDIR /var/lib/wxgate
VOLUME /var/lib/wxgate
# Pages, media links, metrics; IRC; the Matrix application service.
EXPOSE 8480 6667 29320
# Deliveries in flight report before it ends, within ten seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/wxgate"]
CMD ["run"]
