"""From finished runs to a table: collect rows, rank them, render them."""
