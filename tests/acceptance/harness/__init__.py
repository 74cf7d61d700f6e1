"""What the cases stand on: processes, the gateway, backends, clients, raw frames. It asserts nothing itself."""
