"""Rows become tables: columns, details of a model, checklists, paired tests."""
