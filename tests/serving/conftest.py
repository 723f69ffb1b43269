from tests.serving.fixtures import container, server, start_server

__all__ = ["container", "server", "start_server"]
