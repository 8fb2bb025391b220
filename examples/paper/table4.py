"""Table 4 of the paper: HUIHEN on abstracted and on original operations.

python examples/paper/table4.py --output results
python examples/paper/table4.py --output quick --small
"""

from measure import run

if __name__ == "__main__":
    run("table4", __doc__, ["bank_a", "bank_b"], ["HUIHEN", "HUIHEN, original operations"])
