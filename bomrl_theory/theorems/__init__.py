"""One file a theorem; being here is being registered."""
