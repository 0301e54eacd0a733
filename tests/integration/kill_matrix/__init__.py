"""Experiments that are killed at every enumerated moment, and go on: what is killed, how, and what must come out."""
