"""Writes orders.csv: 200 orders that look real, the same ones every time.

Which orders are invalid, declined, sold out or sent where no carrier goes is chosen by the seed. The file is committed;
run this only to change it: ``python -m examples.orders.make_orders``.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

SEED = 20_240_229
ORDERS = 200
FILE = Path(__file__).with_name("orders.csv")
FIELDS = ("order_id", "name", "email", "sku", "quantity", "amount_cents", "card", "country")

GIVEN = (
    "Ada", "Alan", "Amina", "Bao", "Carla", "Chidi", "Dana", "Elif", "Farid", "Grace",
    "Hana", "Ivan", "Jonas", "Kofi", "Lea", "Mira", "Noor", "Olga", "Pablo", "Ravi",
)  # fmt: skip
FAMILY = (
    "Adeyemi", "Becker", "Costa", "Diaz", "Evans", "Fischer", "Gupta", "Haddad",
    "Ito", "Jansen", "Kaya", "Lopez", "Moreau", "Novak", "Okafor", "Park",
)  # fmt: skip
CATALOG = {
    "BOOK-HOPPER-01": 3_490,
    "MUG-STONEWARE": 1_850,
    "LAMP-DESK-OAK": 8_900,
    "KETTLE-STEEL": 6_450,
    "NOTEBOOK-A5-DOT": 1_290,
    "BACKPACK-24L": 11_900,
}
DISCONTINUED = ("LAMP-FLOOR-1998", 14_900)
COUNTRIES = ["DE", "FR", "NL", "PL", "ES", "IT", "SE", "AT"]
GOOD_CARDS = ("4242424242424242", "5555555555554444", "378282246310005")
DECLINED_CARD = "4000000000000002"
UNSERVED_COUNTRY = "AQ"


def order(number: int, chance: random.Random) -> dict[str, str | int]:
    """One row; about one in six has something wrong with it."""
    given, family = chance.choice(GIVEN), chance.choice(FAMILY)
    sku, price = chance.choice(list(CATALOG.items()))
    quantity = chance.choices((1, 2, 3, 5), weights=(60, 25, 10, 5))[0]
    row: dict[str, str | int] = {
        "order_id": f"A-{10_000 + number}",
        "name": f"{given} {family}",
        "email": f"{given}.{family}@example.com".lower(),
        "sku": sku,
        "quantity": quantity,
        "amount_cents": price * quantity,
        "card": chance.choice(GOOD_CARDS),
        "country": chance.choice(COUNTRIES),
    }
    flaw = chance.choices(("", "invalid", "declined", "sold out", "unserved"), weights=(80, 5, 6, 4, 5))[0]
    if flaw == "invalid":
        row |= chance.choice(({"quantity": 0, "amount_cents": 0}, {"email": f"{given.lower()}(at)example.com"}))
    elif flaw == "declined":
        row["card"] = DECLINED_CARD
    elif flaw == "sold out":
        row |= {"sku": DISCONTINUED[0], "quantity": 1, "amount_cents": DISCONTINUED[1]}
    elif flaw == "unserved":
        row["country"] = UNSERVED_COUNTRY
    return row


def main() -> None:
    """Write the file."""
    chance = random.Random(SEED)
    with FILE.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(order(number, chance) for number in range(1, ORDERS + 1))


if __name__ == "__main__":
    main()
