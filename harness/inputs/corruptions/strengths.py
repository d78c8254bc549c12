"""placeholder"""

STRENGTHS = {
    k: {32: (100, 200, 300, 400, 500)}
    for k in [
        "gaussian-noise",
        "shot-noise",
        "impulse-noise",
        "speckle-noise",
        "defocus-blur",
        "motion-blur",
        "zoom-blur",
        "glass-blur",
        "fog",
        "rain",
        "snow",
        "frost",
        "brightness",
        "darkness",
        "contrast",
        "pixelate",
        "jpeg",
        "elastic",
    ]
}
