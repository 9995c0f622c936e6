"""What all transports to ZenMux share: bodies as chunks, sockets, certificates, proxies. Makes no request."""
