"""The library every Reelsight service stands on."""
