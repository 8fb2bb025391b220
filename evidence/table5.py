"""Table 5 of the paper: HUIHEN with and without a matrix for each behavior field.

python evidence/table5.py --output results
python evidence/table5.py --output quick --small
"""

from tables import Table

BOTH = ["HUIHEN", "HUIHEN, no field-aware matrices"]
TABLE = Table("table5", __doc__, {"bank_a": BOTH, "bank_b": BOTH})

if __name__ == "__main__":
    TABLE.main()
