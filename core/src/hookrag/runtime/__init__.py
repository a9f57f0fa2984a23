"""How components run: requests, traces, instances, operations and the proxies through which they call each other."""
