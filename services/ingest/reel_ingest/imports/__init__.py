"""Reads what a dataset's archive says of its pictures: image folders, tables, our own exports; called by the tasks."""
