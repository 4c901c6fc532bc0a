"""A list split into contact files for several campaigns."""
