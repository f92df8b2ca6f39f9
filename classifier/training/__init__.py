"""How the classifier is made; never imported while serving."""
