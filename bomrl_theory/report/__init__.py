"""Reports: tables, figures and the page around them."""
