"""The engine: values in, values out. It never prints, and yields `Progress` where work takes long."""
