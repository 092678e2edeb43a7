"""The admin API: readings and actions of operators by HTTP, for one node or the whole cluster."""
