"""Corruptions of images of any size: noise, blur, weather, digital faults; from id, kind and severity alone."""
