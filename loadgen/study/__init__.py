"""Studies as data: what a study file says, the points that it asks for, and the claims that it judges. Pure: runs nothing."""
