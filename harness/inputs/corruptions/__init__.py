"""Corruptions of images of any size: noise, blur, weather and digital faults, from sample id, kind and severity alone."""
