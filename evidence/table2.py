"""Table 2 of the paper: HUIHEN, its ablations and other models at bank A, here a simulated one.

With the sizes of Table 1 this takes many hours; a run continues where the last one stopped. With
one setting for each contender and larger batches it takes a fraction of that time:

    python evidence/table2.py --output results --n-settings 1 --batch-size 256
    python evidence/table2.py --output quick --small
"""

from contenders import TABLE_2
from tables import Table

TABLE = Table("table2", __doc__, {"bank_a": TABLE_2})

if __name__ == "__main__":
    TABLE.main()
