"""Start a Redis and a PostgreSQL for development, and print their addresses: `python -m harness`.

Both are empty, listen on 127.0.0.1 only, and end with this program.
"""

import signal
import sys

from .services import Services, create_database


def main() -> int:
    """Run the servers until Ctrl+C or SIGTERM."""
    services = Services()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        redis, postgres = services.redis_url(), services.postgres_url()
        database = create_database(postgres, "realtime")
        print(f"export REDIS_URL={redis}")
        print(f"export DATABASE_URL={database}", flush=True)
        print("Stop both servers with Ctrl+C.", file=sys.stderr)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        services.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
