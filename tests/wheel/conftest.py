from wheels import installed, wheel  # noqa: F401: fixtures
