"""Table 4 of the paper: HUIHEN on abstracted and on original operations.

python examples/paper/table4.py --output results
python examples/paper/table4.py --output quick --small
"""

from tables import Table

BOTH = ["HUIHEN", "HUIHEN, original operations"]
TABLE = Table("table4", __doc__, {"bank_a": BOTH, "bank_b": BOTH})

if __name__ == "__main__":
    TABLE.main()
