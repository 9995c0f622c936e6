"""What every transport to ZenMux shares: bodies as chunks, sockets, certificates, proxies. Asks nothing."""
