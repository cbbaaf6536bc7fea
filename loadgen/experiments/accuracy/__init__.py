"""How accurate a served model is: tasks, the tools that evaluate them, and what is kept of their results."""
