"""The doors: HTTP and WebSocket, on aiohttp."""
