"""The plug-ins, one file each. A plug-in imports the framework and the values, never another plug-in."""
