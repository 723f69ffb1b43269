from tests.serving.fixtures import container, server, slow, slow_container, start_server

__all__ = ["container", "server", "slow", "slow_container", "start_server"]
