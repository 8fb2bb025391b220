"""Table 4 of the paper: HUIHEN on abstracted and on original operations.

It also has operations merged by frequency only, and into the true groups of the simulated banks.

python evidence/table4.py --output results
python evidence/table4.py --output quick --small
"""

from tables import Table

WAYS = [
    "HUIHEN",
    "HUIHEN, original operations",
    "HUIHEN, operations by frequency",
    "HUIHEN, true groups of operations",
]
TABLE = Table("table4", __doc__, {"bank_a": WAYS, "bank_b": WAYS})

if __name__ == "__main__":
    TABLE.main()
