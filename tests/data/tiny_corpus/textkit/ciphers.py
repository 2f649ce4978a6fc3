"""Toy ciphers; never use them for secrets."""

import string


def caesar(message, shift):
    """Rotate every letter of the message along the alphabet."""
    alphabet = string.ascii_lowercase
    result = []
    for letter in message:
        position = alphabet.find(letter)
        result.append(letter if position < 0 else alphabet[(position + shift) % 26])
    return "".join(result)


def vigenere(message, key, decode=False):
    """Apply a repeating key to a message of lower-case letters."""
    output = ""
    sign = -1 if decode else 1
    for index, letter in enumerate(message):
        shift = ord(key[index % len(key)]) - ord("a")
        output += chr((ord(letter) - ord("a") + sign * shift) % 26 + ord("a"))
    return output
