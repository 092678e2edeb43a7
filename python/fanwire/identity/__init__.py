"""Who a client is: its request, its address behind proxies, its identity."""
