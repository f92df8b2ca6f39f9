"""A simulator of coding sessions over recorded outcomes: what does a policy of switching cost?"""
