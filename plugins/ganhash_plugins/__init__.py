"""The plugins that come with ganhash, found through entry points like any other."""
