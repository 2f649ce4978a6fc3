"""Arithmetic expressions."""

import re


def tokenise(text):
    """Cut an expression into numbers, operators and brackets."""
    pattern = re.compile(r"\s*(?:(\d+\.?\d*)|(.))")
    tokens = []
    for number, symbol in pattern.findall(text):
        token = float(number) if number else symbol
        tokens.append(token)
    return tokens


def evaluate_postfix(tokens):
    """Evaluate an expression whose operators follow their operands."""
    stack = []
    for item in tokens:
        if isinstance(item, float):
            stack.append(item)
            continue
        right = stack.pop()
        left = stack.pop()
        if item == "+":
            stack.append(left + right)
        elif item == "*":
            stack.append(left * right)
        else:
            stack.append(left - right if item == "-" else left / right)
    return stack[0]


def balanced(text, pairs=("()", "[]", "{}")):
    """Check that all brackets of a text are closed in order."""
    closing = {pair[1]: pair[0] for pair in pairs}
    opened = []
    for letter in text:
        if letter in closing.values():
            opened.append(letter)
        elif letter in closing and (not opened or opened.pop() != closing[letter]):
            return False
    return not opened
