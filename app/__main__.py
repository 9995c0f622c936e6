"""`python -m app` is `zenmux-gateway`."""

from app.cli.main import run

if __name__ == "__main__":
    run()
