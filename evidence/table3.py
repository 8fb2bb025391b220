"""Table 3 of the paper: HUIHEN, its ablations and other models at bank B, here a simulated one.

python evidence/table3.py --output results
python evidence/table3.py --output quick --small
"""

from contenders import TABLE_2
from tables import Table

TABLE = Table("table3", __doc__, {"bank_b": TABLE_2})

if __name__ == "__main__":
    TABLE.main()
