"""The verbs: one thin file each; options, one engine call, one rendering."""
